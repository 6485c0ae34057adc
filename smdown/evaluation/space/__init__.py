"""Errors in space and in scale: spectra, maps of errors, and products on a coarser grid."""
