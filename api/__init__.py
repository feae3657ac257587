"""The HTTP API at /api/v1: reads, requests and usage for machines; tokens say who may."""
