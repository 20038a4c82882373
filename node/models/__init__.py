"""The models that routes run: whose bundle is in force, what was before, and the bundles themselves."""
