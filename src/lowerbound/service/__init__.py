"""What can be asked of a trained model: as functions of plain arrays, and over HTTP."""
