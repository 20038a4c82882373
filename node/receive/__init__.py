"""Association to stored instance to complete series or study."""
