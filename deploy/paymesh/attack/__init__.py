"""Attack paths: what each attacker can make the services do, counted by live probes.

docs/attack-paths.md says what is counted. `model` has its terms; `arms` starts the same
services behind more or less of the mesh; `probe` tries every cell; `computed` derives the
same cells from configuration alone and shares nothing with the other two but `model`.
"""
