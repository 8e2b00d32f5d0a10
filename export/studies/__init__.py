"""Studies: variants of networks trained and judged side by side, and pictures of them."""
