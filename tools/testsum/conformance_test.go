package main

import (
	"strings"
	"testing"
)

func TestConformanceTable(t *testing.T) {
	var all table
	for _, e := range []event{
		{Package: "x/redis", Test: "TestConformance/redis", Key: "conformance", Value: "set may be repeated=yes"},
		{Package: "x/redis", Test: "TestConformanceOfAReplica", Key: "conformance", Value: "set may be repeated=FAIL"},
		{Package: "x/redis", Test: "TestConformance/redis", Key: "conformance", Value: "plan is true=-"},
	} {
		if !all.take(e) {
			t.Errorf("%+v was not taken", e)
		}
	}
	if all.take(event{Key: "other"}) {
		t.Error("another attribute was taken")
	}
	var out strings.Builder
	all.print(&out)
	const want = `conformance of the rotators (-: the target has no such thing)
   1  redis: TestConformanceOfAReplica
   2  redis: redis
                         1    2
  set may be repeated FAIL  yes
  plan is true                -

`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
