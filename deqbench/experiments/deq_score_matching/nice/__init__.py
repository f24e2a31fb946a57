"""Flows of images, trained by several objectives."""
