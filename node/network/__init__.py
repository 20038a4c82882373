"""What every DICOM and HTTP connection of the node has in common."""
