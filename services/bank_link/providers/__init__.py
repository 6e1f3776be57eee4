"""Bank data providers behind one interface."""
