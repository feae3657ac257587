"""Render Alerts: the incidents, their age, and the people who acknowledged them."""
