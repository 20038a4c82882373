"""The patient's earlier report by the same pipeline: kept here, or asked of an archive, its identity never guessed."""
