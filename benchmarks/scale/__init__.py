"""Plans of continents: made for real, run by tasks that sleep."""
