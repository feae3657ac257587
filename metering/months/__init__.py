"""Close months into bills, and correct, explain and compare them."""
