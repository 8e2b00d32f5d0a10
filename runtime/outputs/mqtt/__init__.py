"""MQTT: alarms and summaries to a broker, through outages of any length."""
