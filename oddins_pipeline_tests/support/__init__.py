"""What tests share. It imports from no test."""
