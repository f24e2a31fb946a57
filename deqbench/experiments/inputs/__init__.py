"""Experiments' inputs, shared by all papers: data sets, networks and features."""
