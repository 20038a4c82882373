"""The node's database: tables, states and their transitions, shared queries, migrations."""
