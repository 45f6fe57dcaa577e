package api_test

import "testing"

// schedules tries freezes, pauses, previews and the load.
func schedules(t *testing.T, a *api1) {
	type hold struct{ Name, Kind, Match, From, To, By string }
	var one hold
	a.call("PUT", "/v1/holds/year-end", `{"kind":"freeze","match":"prod/*","from":"2099-12-20T00:00:00Z","to":"2100-01-04T00:00:00Z","reason":"close"}`, 200, &one)
	if one.Name != "year-end" || one.From != "2099-12-20T00:00:00Z" || one.By != "arn:aws:iam::"+account+":root" {
		t.Errorf("%+v", one)
	}
	a.call("PUT", "/v1/holds/pause-env=prod", `{"kind":"pause","tag":{"key":"env","value":"prod"}}`, 200, &one)
	var list struct{ Holds []hold }
	a.call("GET", "/v1/holds", "", 200, &list)
	if len(list.Holds) != 2 || list.Holds[0].Kind != "pause" || list.Holds[1].Match != "prod/*" {
		t.Errorf("%+v", list)
	}
	a.call("DELETE", "/v1/holds/pause-env=prod", "", 200, nil)
	a.call("DELETE", "/v1/holds/year-end", "", 200, nil)

	var preview struct {
		TimeZone string
		Fires    []struct{ At, Why string }
	}
	a.call("POST", "/v1/previews?secret=db/app", `{}`, 200, &preview)
	if len(preview.Fires) != 5 || preview.Fires[0].Why != "regular" {
		t.Errorf("%+v", preview)
	}
	a.call("POST", "/v1/previews", `{"schedule":{"expression":"0 9 * * 1","timeZone":"Europe/Berlin"},"count":2}`, 200, &preview)
	if len(preview.Fires) != 2 || preview.TimeZone != "Europe/Berlin" {
		t.Errorf("%+v", preview)
	}
	var load struct {
		Hours   []int
		Secrets int
	}
	a.call("GET", "/v1/load?days=1", "", 200, &load)
	if len(load.Hours) != 24 || load.Secrets != 1 {
		t.Errorf("%+v", load)
	}
	var rotation struct {
		Schedule    struct{ MaxAge string }
		VerifyEvery string
	}
	a.call("PUT", "/v1/rotation?secret=db/app", `{"schedule":{"expression":"@every 10s","maxAge":"2160h"},"verifyEvery":"6h"}`, 200, &rotation)
	if rotation.Schedule.MaxAge != "2160h0m0s" || rotation.VerifyEvery != "6h0m0s" {
		t.Errorf("%+v", rotation)
	}
	a.call("PUT", "/v1/rotation?secret=db/app", `{"verifyEvery":"off"}`, 200, &rotation)
	if rotation.VerifyEvery != "off" {
		t.Errorf("%+v", rotation)
	}
}
