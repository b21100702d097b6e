"""`report`: run folders in, one HTML file out."""
