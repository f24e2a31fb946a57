"""Bytes of gradients and inverters by T."""
