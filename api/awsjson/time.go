package awsjson

import (
	"fmt"
	"time"
)

// Time is a timestamp on the wire: a number, seconds since 1970 with three
// decimals. The zero Time is left out by `omitzero`.
type Time struct{ time.Time }

// MarshalJSON writes the number.
func (t Time) MarshalJSON() ([]byte, error) {
	ms := t.UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	return fmt.Appendf(nil, "%s%d.%03d", sign, ms/1000, ms%1000), nil
}
