"""Forms of the recommender's pages."""
