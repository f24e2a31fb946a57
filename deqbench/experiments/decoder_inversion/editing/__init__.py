"""Edits that keep the background. Source: appendix A.2.3, figure S3."""
