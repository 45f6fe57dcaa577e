package schedule

import (
	"strings"

	"github.com/robfig/cron/v3"
)

// starBit is how robfig/cron marks a field given as * or ?.
const starBit = 1 << 63

// parseFiveField reads five-field cron and the descriptors. robfig/cron parses
// the text; the table evaluates it, since robfig's own evaluation skips wall
// times that a clock change skips and gives up after five years.
func parseFiveField(expr string) (*table, error) {
	const example = `"30 3 * * SUN"`
	parsed, err := cron.ParseStandard(expr)
	if err != nil {
		// The parser's message repeats the expression; keep the first part.
		reason, _, _ := strings.Cut(err.Error(), ": ")
		return nil, badExpression(expr, example, "not five-field cron: %s", reason)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, badExpression(expr, example, "not a cron expression")
	}
	return &table{
		minutes:   spec.Minute &^ starBit,
		hours:     spec.Hour &^ starBit,
		months:    spec.Month &^ starBit,
		monthDays: spec.Dom &^ starBit,
		weekdays:  spec.Dow &^ starBit,
		eitherDay: spec.Dom&starBit == 0 && spec.Dow&starBit == 0,
		anyYear:   true,
	}, nil
}
