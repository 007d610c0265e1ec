"""Plain loops over raw arrays that NumPy cannot fuse, each beside its NumPy equal; one file per job."""
