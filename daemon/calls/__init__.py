"""What calls mean: legs, calls, facts and the messages made of them."""
