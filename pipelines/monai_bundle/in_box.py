"""How the node tells a worker that it is in a box."""

IN_BOX = "CONDYLE_IN_BOX"  # is "1" in the environment of a worker that is in one
