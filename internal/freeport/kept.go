package freeport

import (
	"os"
	"sync"
)

var (
	mu sync.Mutex
	// kept are the files behind the ports of this process: a file that is
	// forgotten is closed, and closed is unlocked.
	kept []*os.File
)

func keep(file *os.File) {
	mu.Lock()
	defer mu.Unlock()
	kept = append(kept, file)
}
