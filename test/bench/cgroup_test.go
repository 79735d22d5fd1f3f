package main

import "testing"

func TestCgroupPath(t *testing.T) {
	const (
		v1     = "12:cpu,cpuacct:/tarn-1/i-0/system\n5:memory:/tarn-1/i-0/system\n1:name=systemd:/init\n0::/\n"
		v2     = "0::/tarn-1/i-0/system\n"
		system = "/tarn-1/i-0/system"
	)
	for _, tt := range []struct {
		name, text, controller string
		unified                bool
		want                   string
	}{
		{"v1", v1, "memory", false, "memory" + system},
		{"v1, a shared hierarchy", v1, "cpuacct", false, "cpu,cpuacct" + system},
		{"v1, none", v1, "pids", false, ""},
		{"v2", v2, "memory", true, system},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := cgroupPath(tt.text, tt.controller, tt.unified); got != tt.want || ok != (tt.want != "") {
				t.Errorf("%q, %t; want %q", got, ok, tt.want)
			}
		})
	}
}
