"""The page with the player: pure, answers without waiting."""
