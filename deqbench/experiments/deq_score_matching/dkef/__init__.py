"""Deep kernel densities of tables and Gaussians: trained by several losses, then measured by the exact one."""
