"""Databases' ports on the flat network of arms A and B: no process of Paymesh as it is shipped."""
