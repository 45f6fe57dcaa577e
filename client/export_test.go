package client

// SetBuffer makes the room for events that wait smaller.
func SetBuffer(c *Client, n int) { c.buffer = n }

// Mark makes a Watcher note its position as it does each minute, in its next
// step.
func Mark(w *Watcher) { w.askMark() }
