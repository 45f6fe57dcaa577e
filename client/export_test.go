package client

// SetBuffer makes the room for events that wait smaller.
func SetBuffer(c *Client, n int) { c.buffer = n }
