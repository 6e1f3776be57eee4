"""What was measured, for people and programs: table, JSON, pictures, documents."""
