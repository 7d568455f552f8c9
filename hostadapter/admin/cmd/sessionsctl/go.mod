module github.com/fosite-sessions/sessions/hostadapter/admin/cmd/sessionsctl

go 1.26.0

require (
	github.com/fosite-sessions/sessions v0.0.0
	github.com/schollz/progressbar/v3 v3.19.0
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	golang.org/x/term v0.45.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/fosite-sessions/sessions => ../../../..
