"""Ball forecasting: where three balls are at t = 19, seen from t = 0 … 18."""
