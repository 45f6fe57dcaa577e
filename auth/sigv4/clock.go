package sigv4

import (
	"fmt"
	"net/http"
	"time"
)

const (
	isoBasic = "20060102T150405Z"
	isoDay   = "20060102"
)

// requestTime reads X-Amz-Date, or Date when there is none, and returns the
// time together with the text that was signed.
func requestTime(h http.Header) (time.Time, string, error) {
	if v := h.Get("X-Amz-Date"); v != "" {
		t, err := parseBasic(v)
		if err != nil {
			return time.Time{}, "", refuse(Incomplete, "Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'.")
		}
		return t, v, nil
	}
	v := h.Get("Date")
	if v == "" {
		return time.Time{}, "", refuse(Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if t, err := parseBasic(v); err == nil {
		return t, v, nil
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return time.Time{}, "", refuse(Incomplete, "The Date header is not a valid date.")
	}
	t = t.UTC()
	return t, t.Format(isoBasic), nil
}

// parseBasic is stricter than time.Parse, which takes fractions of a second
// that no layout names.
func parseBasic(s string) (time.Time, error) {
	t, err := time.Parse(isoBasic, s)
	if err == nil && t.Format(isoBasic) != s {
		err = fmt.Errorf("date %q is not in basic form", s)
	}
	return t, err
}

// checkSkew refuses a time further than skew from now. The texts are the ones
// from which AWS clients know that their clock is wrong; they then correct
// themselves by the Date of the answer.
func checkSkew(signed, now time.Time, skew time.Duration) error {
	now = now.UTC().Truncate(time.Second)
	if oldest := now.Add(-skew); signed.Before(oldest) {
		return refuse(Skewed, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %s)",
			signed.Format(isoBasic), oldest.Format(isoBasic), now.Format(isoBasic), spell(skew)))
	}
	if newest := now.Add(skew); signed.After(newest) {
		return refuse(Skewed, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %s)",
			signed.Format(isoBasic), newest.Format(isoBasic), now.Format(isoBasic), spell(skew)))
	}
	return nil
}

func spell(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min.", d/time.Minute)
	}
	return fmt.Sprintf("%d sec.", d/time.Second)
}
