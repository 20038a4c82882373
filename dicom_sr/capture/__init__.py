"""Pictures of results: pages, panels and the ink to draw them."""
