"""Cost of networks and graphs: operations, parameters, time and memory."""
