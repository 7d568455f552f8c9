package integration

// The manifests for Kubernetes and the units for systemd in examples/several-hosts.

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const severalHosts = "../examples/several-hosts"

// manifests are the objects of kubernetes.yaml.
type manifests struct {
	job        batch.Job
	deployment apps.Deployment
	budget     policy.PodDisruptionBudget
	service    core.Service
}

// readManifests decodes them strictly: an unknown or duplicate field is an error.
func readManifests(t *testing.T) *manifests {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(severalHosts, "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{}
	objects := map[meta.TypeMeta]any{
		{APIVersion: "batch/v1", Kind: "Job"}:                  &m.job,
		{APIVersion: "apps/v1", Kind: "Deployment"}:            &m.deployment,
		{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}: &m.budget,
		{APIVersion: "v1", Kind: "Service"}:                    &m.service,
	}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		object, known := objects[kind]
		if !known {
			t.Fatalf("duplicate or unknown object %+v", kind)
		}
		delete(objects, kind)
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
	}
	if len(objects) > 0 {
		t.Fatalf("missing objects: %v", objects)
	}
	return m
}

// The manifests are valid and serve their purpose: a rolling update without unavailable pods, probes at
// existing paths, containers that can write only to their own volumes.
func TestKubernetesManifests(t *testing.T) {
	t.Parallel()
	m := readManifests(t)
	d := m.deployment.Spec
	rolling := d.Strategy.RollingUpdate
	if *d.Replicas < 2 || rolling == nil || rolling.MaxUnavailable.IntValue() != 0 ||
		rolling.MaxSurge.IntValue() < 1 || m.budget.Spec.MinAvailable.IntValue() < 1 {
		t.Errorf("an update or a drained node takes a host away: %+v, %+v", d.Strategy, m.budget.Spec)
	}
	labels := d.Template.Labels
	for name, selector := range map[string]map[string]string{
		"Deployment": d.Selector.MatchLabels, "PodDisruptionBudget": m.budget.Spec.Selector.MatchLabels,
		"Service": m.service.Spec.Selector,
	} {
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("the %s selects %s=%s, the pods have %v", name, key, value, labels)
			}
		}
	}
	confined(t, "Job", m.job.Spec.Template.Spec)
	confined(t, "Deployment", d.Template.Spec)
	server := d.Template.Spec.Containers[0]
	for path, probe := range map[string]*core.Probe{
		"/healthz": server.LivenessProbe, "/readyz": server.ReadinessProbe,
	} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path ||
			probe.HTTPGet.Port.String() != server.Ports[0].Name {
			t.Errorf("the probe of %s is %+v", path, probe)
		}
	}
	if server.StartupProbe.FailureThreshold*server.StartupProbe.PeriodSeconds < 40 {
		t.Error("a start that waits for its database is aborted")
	}
	drained := server.Lifecycle.PreStop.Sleep.Seconds
	if *d.Template.Spec.TerminationGracePeriodSeconds < drained+15 {
		t.Errorf("a pod is killed before its requests and its plugin have ended: grace period of %d s",
			*d.Template.Spec.TerminationGracePeriodSeconds)
	}
	flagsAreKnown(t, "fosite-server", server.Args)
	flagsAreKnown(t, "sessions-postgres", m.job.Spec.Template.Spec.Containers[0].Args)
}

// confined checks that a pod runs as an unprivileged user and mounts the volumes that it needs.
func confined(t *testing.T, name string, pod core.PodSpec) {
	t.Helper()
	s := pod.SecurityContext
	if !*s.RunAsNonRoot || *s.RunAsUser == 0 || *pod.AutomountServiceAccountToken ||
		s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod of the %s is not confined: %+v", name, s)
	}
	mounted := map[string]bool{}
	for _, container := range pod.Containers {
		s := container.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
			!slices.Contains(s.Capabilities.Drop, core.Capability("ALL")) {
			t.Errorf("%s of the %s is not confined: %+v", container.Name, name, s)
		}
		if container.Resources.Requests.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() ||
			container.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s of the %s has no resource limits", container.Name, name)
		}
		for _, mount := range container.VolumeMounts {
			mounted[mount.Name] = true
		}
	}
	for _, volume := range pod.Volumes {
		if !mounted[volume.Name] {
			t.Errorf("the %s mounts no %s", name, volume.Name)
		}
		delete(mounted, volume.Name)
		// The server refuses secrets that others can read.
		if secret := volume.Secret; secret != nil && *secret.DefaultMode&0o007 != 0 {
			t.Errorf("%s of the %s has mode %o", volume.Name, name, *secret.DefaultMode)
		}
	}
	if len(mounted) > 0 {
		t.Errorf("the %s mounts %v, which do not exist", name, mounted)
	}
}

// flagsAreKnown checks that a program has the flags of a command line.
func flagsAreKnown(t *testing.T, program string, arguments []string) {
	t.Helper()
	help, _ := exec.Command(binary(t, program), "-help").CombinedOutput()
	known := regexp.MustCompile(`(?m)^ +-([a-z-]+)`).FindAllStringSubmatch(string(help), -1)
	found := 0
	for _, argument := range arguments {
		name, _, _ := strings.Cut(strings.TrimPrefix(argument, "-"), "=")
		if name == argument || !strings.HasPrefix(argument, "-") {
			continue
		}
		found++
		if !slices.ContainsFunc(known, func(k []string) bool { return k[1] == name }) {
			t.Errorf("%s has no flag -%s", program, name)
		}
	}
	if found == 0 {
		t.Errorf("%s gets no flags: %v", program, arguments)
	}
}

// execStart returns the command of a unit, with continued lines joined.
var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(\S+)((?:[^\n]*\\\n)*[^\n]*)`)

// The units are valid, run programs with existing flags, and never as root.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob(filepath.Join(severalHosts, "*.service"))
	if err != nil || len(units) != 2 {
		t.Fatalf("the units are %v, error %v, want two", units, err)
	}
	folder := t.TempDir()
	var copies []string
	for _, unit := range units {
		content, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		command := execStart.FindSubmatch(content)
		if command == nil {
			t.Fatalf("%s starts nothing", unit)
		}
		arguments := strings.Fields(strings.ReplaceAll(string(command[2]), "\\\n", " "))
		flagsAreKnown(t, string(command[1]), arguments)
		for _, line := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict"} {
			if !bytes.Contains(content, []byte("\n"+line+"\n")) {
				t.Errorf("%s lacks %s", unit, line)
			}
		}
		// systemd checks that the program exists.
		content = bytes.ReplaceAll(content, []byte("/usr/local/bin/"), []byte(binaries.folder+"/"))
		copies = append(copies, filepath.Join(folder, filepath.Base(unit)))
		if err := os.WriteFile(copies[len(copies)-1], content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal("systemd-analyze is missing: see .ci/run")
	default:
		t.Skip("systemd-analyze is missing: the units were parsed, not verified")
	}
	for _, unit := range copies {
		said, err := exec.Command(analyze, "verify", unit).CombinedOutput()
		if err != nil || len(bytes.TrimSpace(said)) > 0 {
			t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, said)
		}
		// Exposure from 0 to 10, in tenths: 2.0 is "OK".
		rate := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", unit)
		said, err = rate.CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security %s: %v\n%s", unit, err, said)
		}
	}
}
