// Package deploy has no code to ship. Its test reads the manifests and the Dockerfile as
// the tools they are meant for would, and checks that the pieces fit each other.
package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

const manifests = "kubernetes"

// settings are the environment variables of `serve`, one for each of its flags.
var settings = []string{
	"ROUTER_RULES", "ROUTER_LISTEN", "ROUTER_ADMIN_LISTEN", "ROUTER_ADMIN_TOKEN", "ROUTER_DATABASE",
	"ROUTER_RETENTION", "ROUTER_LOG_LEVEL", "ROUTER_LOG_FORMAT", "ROUTER_ALLOW_UNSIGNED",
	"ROUTER_TLS_CERT", "ROUTER_TLS_KEY",
}

// deployment is everything under this folder that has to agree, and the Dockerfile.
type deployment struct {
	kustomization *types.Kustomization
	workload      *appsv1.Deployment
	service       *corev1.Service
	claim         *corev1.PersistentVolumeClaim
	secret        *corev1.Secret
	ingress       *networkingv1.Ingress
	image         image
	rulesEnv      []string // the variables that rules.yaml reads its secrets from
}

// image is what the last stage of the Dockerfile says.
type image struct {
	user       string
	entrypoint string
	cmd        string
	expose     string
	volume     string
	goVersion  string
	env        map[string]string
}

func TestEveryFileIsKnown(t *testing.T) {
	t.Parallel()
	var got []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			got = append(got, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"deploy_test.go",
		"grafana/dashboard.json",
		"kubernetes/README.md",
		"kubernetes/deployment.yaml",
		"kubernetes/ingress.example.yaml",
		"kubernetes/kustomization.yaml",
		"kubernetes/persistentvolumeclaim.yaml",
		"kubernetes/rules.yaml",
		"kubernetes/secret.example.yaml",
		"kubernetes/service.yaml",
		"prometheus/alerts.yaml",
		"prometheus/alerts_test.yaml",
		"prometheus_test.go",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a file under deploy is not covered by this test (-want +got):\n%s", diff)
	}
}

func TestManifestsAgree(t *testing.T) {
	t.Parallel()
	for _, fault := range load(t).faults() {
		t.Error(fault)
	}
}

// TestFaultsAreFound breaks the deployment one way at a time: a check that never
// complains would pass TestManifestsAgree just as well.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*deployment)
		want  string
	}{
		{"root file system is writable", func(d *deployment) {
			*d.container().SecurityContext.ReadOnlyRootFilesystem = false
		}, "root file system"},
		{"container may run as root", func(d *deployment) {
			d.pod().SecurityContext.RunAsNonRoot = nil
		}, "non-root"},
		{"uid differs from the image's", func(d *deployment) {
			*d.pod().SecurityContext.RunAsUser = 1000
		}, "Dockerfile runs as"},
		{"a capability is kept", func(d *deployment) {
			d.container().SecurityContext.Capabilities.Drop = nil
		}, "capabilities"},
		{"two replicas", func(d *deployment) {
			*d.workload.Spec.Replicas = 2
		}, "one replica"},
		{"rolling update", func(d *deployment) {
			d.workload.Spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
		}, "Recreate"},
		{"rules through subPath", func(d *deployment) {
			d.container().VolumeMounts[0].SubPath = "rules.yaml"
		}, "subPath"},
		{"rules picked key by key", func(d *deployment) {
			d.pod().Volumes[0].ConfigMap.Name = "another"
		}, "ConfigMap another"},
		{"rules under a hashed name", func(d *deployment) {
			d.kustomization.ConfigMapGenerator[0].Options = nil
		}, "disableNameSuffixHash"},
		{"rules elsewhere than mounted", func(d *deployment) {
			d.setEnv("ROUTER_RULES", "/rules/rules.yaml")
		}, "ROUTER_RULES"},
		{"database in the read-only root", func(d *deployment) {
			d.setEnv("ROUTER_DATABASE", "sqlite:///router.db")
		}, "ROUTER_DATABASE"},
		{"unknown setting", func(d *deployment) {
			d.container().Env = append(d.container().Env, corev1.EnvVar{Name: "ROUTER_PORT", Value: "3000"})
		}, "ROUTER_PORT"},
		{"unknown command", func(d *deployment) {
			d.container().Args = []string{"run"}
		}, "args"},
		{"secret key missing", func(d *deployment) {
			delete(d.secret.StringData, "ACME_API_KEY")
		}, "ACME_API_KEY"},
		{"secret key unused", func(d *deployment) {
			d.secret.StringData["OTHER"] = "x"
		}, "OTHER"},
		{"rules read a variable nobody sets", func(d *deployment) {
			d.rulesEnv = append(d.rulesEnv, "BETA_API_KEY")
		}, "BETA_API_KEY"},
		{"selector matches nothing", func(d *deployment) {
			d.workload.Spec.Template.Labels["app.kubernetes.io/name"] = "router"
		}, "selector"},
		{"service selects nothing", func(d *deployment) {
			d.service.Spec.Selector["app.kubernetes.io/name"] = "router"
		}, "Service selector"},
		{"target port unknown", func(d *deployment) {
			d.service.Spec.Ports[0].TargetPort = intstr.FromString("web")
		}, "targetPort"},
		{"admin listener published", func(d *deployment) {
			d.container().Ports = append(d.container().Ports, corev1.ContainerPort{Name: "admin", ContainerPort: 3001})
		}, "3001"},
		{"probe on an unknown path", func(d *deployment) {
			d.container().ReadinessProbe.HTTPGet.Path = "/ready"
		}, "readiness"},
		{"volume missing", func(d *deployment) {
			d.pod().Volumes = d.pod().Volumes[:1]
		}, "no volume"},
		{"volume unused", func(d *deployment) {
			d.pod().Volumes = append(d.pod().Volumes, corev1.Volume{Name: "spare"})
		}, "spare"},
		{"claim missing", func(d *deployment) {
			d.claim.Name = "another"
		}, "claim"},
		{"manifest not listed", func(d *deployment) {
			d.kustomization.Resources = d.kustomization.Resources[1:]
		}, "resources"},
		{"example secret listed", func(d *deployment) {
			d.kustomization.Resources = append(d.kustomization.Resources, "secret.example.yaml")
		}, "resources"},
		{"image not the one kustomize sets", func(d *deployment) {
			d.container().Image = "router"
		}, "images"},
		{"ingress to another service", func(d *deployment) {
			d.ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "another"
		}, "Ingress"},
		{"ingress publishes everything", func(d *deployment) {
			d.ingress.Spec.Rules[0].HTTP.Paths[0].Path = "/"
		}, "Ingress"},
		{"image runs as root", func(d *deployment) {
			d.image.user = "root"
		}, "Dockerfile runs as"},
		{"image keeps its data outside its volume", func(d *deployment) {
			d.image.volume = "/data"
		}, "VOLUME"},
		{"image sets an unknown variable", func(d *deployment) {
			d.image.env["ROUTER_DB"] = "x"
		}, "ROUTER_DB"},
		{"image built with another Go", func(d *deployment) {
			d.image.goVersion = "1.19"
		}, "Go 1.19"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := load(t)
			test.spoil(d)
			if faults := strings.Join(d.faults(), "\n"); !strings.Contains(faults, test.want) {
				t.Errorf("faults do not mention %q:\n%s", test.want, faults)
			}
		})
	}
}

func TestDecodingIsStrict(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, old, new string }{
		{"misspelt field", "deployment.yaml", "readOnlyRootFilesystem:", "readOnlyRootFileSystem:"},
		{"field in the wrong place", "deployment.yaml", "      terminationGracePeriodSeconds:", "  terminationGracePeriodSeconds:"},
		{"wrong type", "deployment.yaml", "replicas: 1", "replicas: one"},
		{"field given twice", "service.yaml", "  type: ClusterIP\n", "  type: ClusterIP\n  type: ClusterIP\n"},
		{"unknown kind", "service.yaml", "kind: Service", "kind: Servce"},
		{"unknown API version", "ingress.example.yaml", "networking.k8s.io/v1", "networking.k8s.io/v9"},
		{"bad quantity", "persistentvolumeclaim.yaml", "5Gi", "5 gigabytes"},
		{"misspelt field of the kustomization", "kustomization.yaml", "configMapGenerator:", "configMapGenerators:"},
		{"misspelt option of a generator", "kustomization.yaml", "disableNameSuffixHash:", "disableNameSuffix:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := read(t, filepath.Join(manifests, test.file))
			if _, err := parse(text); err != nil {
				t.Fatalf("the file as it is: %v", err)
			}
			broken := strings.Replace(string(text), test.old, test.new, 1)
			if broken == string(text) {
				t.Fatalf("%s does not contain %q", test.file, test.old)
			}
			if _, err := parse([]byte(broken)); err == nil {
				t.Errorf("%q was accepted", test.new)
			}
		})
	}
}

// TestReadme decodes the configuration that the README shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	text := string(read(t, filepath.Join(manifests, "README.md")))
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("no yaml in the README")
	}
	for _, block := range blocks {
		if _, err := parse([]byte(block[1])); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	for _, file := range regexp.MustCompile(`\b[a-z.]+\.yaml\b`).FindAllString(text, -1) {
		if _, err := os.Stat(filepath.Join(manifests, file)); err != nil {
			t.Errorf("the README names %s, which does not exist", file)
		}
	}
}

// faults lists what does not fit. Each check says what would go wrong in the cluster.
func (d *deployment) faults() []string {
	var list []string
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	d.checkSecurity(expect)
	d.checkSettings(expect)
	d.checkStorage(expect)
	d.checkNetwork(expect)
	d.checkKustomization(expect)
	d.checkImage(expect)
	return list
}

type expectFunc func(ok bool, format string, args ...any)

func (d *deployment) checkSecurity(expect expectFunc) {
	pod, container := d.pod(), d.container()
	security := container.SecurityContext
	expect(is(pod.SecurityContext.RunAsNonRoot), "pod is not forced to run as non-root")
	expect(is(security.ReadOnlyRootFilesystem), "root file system is writable")
	expect(security.AllowPrivilegeEscalation != nil && !*security.AllowPrivilegeEscalation, "privilege escalation is possible")
	expect(!is(security.Privileged), "container is privileged")
	expect(security.Capabilities != nil && slices.Contains(security.Capabilities.Drop, "ALL") && len(security.Capabilities.Add) == 0,
		"capabilities are not all dropped")
	expect(pod.SecurityContext.SeccompProfile != nil && pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"seccomp profile is not RuntimeDefault")
	expect(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, "pod gets a token of the Kubernetes API")

	uid, gid := value(pod.SecurityContext.RunAsUser), value(pod.SecurityContext.RunAsGroup)
	expect(d.image.user == fmt.Sprintf("%d:%d", uid, gid), "Dockerfile runs as %s, pod as %d:%d", d.image.user, uid, gid)
	expect(value(pod.SecurityContext.FSGroup) == gid, "fsGroup is not the group that the gateway runs as")
	expect(container.Resources.Requests.Memory().Sign() > 0 && container.Resources.Limits.Memory().Sign() > 0, "memory is not bounded")
}

func (d *deployment) checkSettings(expect expectFunc) {
	container := d.container()
	expect(slices.Equal(container.Args, []string{"serve"}), "args are %q, the gateway runs with serve", container.Args)
	expect(container.Command == nil, "command overrides the entry point")

	used := map[string]bool{}
	for _, variable := range container.Env {
		if strings.HasPrefix(variable.Name, "ROUTER_") {
			expect(slices.Contains(settings, variable.Name), "%s is no setting of serve", variable.Name)
			continue
		}
		ref := variable.ValueFrom
		expect(ref != nil && ref.SecretKeyRef != nil, "%s is no setting, so it should come from the Secret", variable.Name)
		if ref != nil && ref.SecretKeyRef != nil {
			used[ref.SecretKeyRef.Key] = true
			expect(ref.SecretKeyRef.Name == d.secret.Name, "%s comes from a Secret %s that has no example", variable.Name, ref.SecretKeyRef.Name)
			_, ok := d.secret.StringData[ref.SecretKeyRef.Key]
			expect(ok, "the example Secret lacks %s", ref.SecretKeyRef.Key)
		}
		expect(slices.Contains(d.rulesEnv, variable.Name), "rules.yaml does not read %s", variable.Name)
	}
	for key := range d.secret.StringData {
		expect(used[key], "nothing reads %s of the example Secret", key)
	}
	expect(len(d.secret.Data) == 0, "the example Secret should be readable: stringData, not data")
	for _, name := range d.rulesEnv {
		_, ok := d.env(name)
		expect(ok, "rules.yaml reads %s, which the Deployment does not set", name)
	}
}

func (d *deployment) checkStorage(expect expectFunc) {
	pod, container := d.pod(), d.container()
	expect(value(d.workload.Spec.Replicas) == 1, "SQLite allows one replica only")
	expect(d.workload.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType, "strategy must be Recreate: two pods would open one SQLite file")

	volumes := map[string]corev1.Volume{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = volume
		mounted := slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume.Name })
		expect(mounted, "volume %s is not mounted", volume.Name)
	}
	generated := ""
	if len(d.kustomization.ConfigMapGenerator) == 1 {
		generated = d.kustomization.ConfigMapGenerator[0].Name
	}
	rules, _ := d.env("ROUTER_RULES")
	database, _ := d.env("ROUTER_DATABASE")
	var rulesMounted, databaseMounted, temporary bool
	for _, mount := range container.VolumeMounts {
		volume, ok := volumes[mount.Name]
		expect(ok, "no volume is called %s", mount.Name)
		switch {
		case volume.ConfigMap != nil:
			expect(mount.SubPath == "" && mount.SubPathExpr == "", "rules are mounted through subPath: changes would never arrive")
			expect(volume.ConfigMap.Name == generated, "ConfigMap %s is not the generated one, %q", volume.ConfigMap.Name, generated)
			expect(!is(volume.ConfigMap.Optional), "without its rules the pod should not start")
			rulesMounted = path.Dir(rules.Value) == mount.MountPath
		case volume.PersistentVolumeClaim != nil:
			expect(volume.PersistentVolumeClaim.ClaimName == d.claim.Name, "claim %s does not exist", volume.PersistentVolumeClaim.ClaimName)
			expect(!mount.ReadOnly, "the data volume is read-only")
			databaseMounted = path.Dir(strings.TrimPrefix(database.Value, "sqlite://")) == mount.MountPath
		case volume.EmptyDir != nil:
			temporary = temporary || mount.MountPath == "/tmp"
		}
	}
	expect(rulesMounted, "ROUTER_RULES is %q, where no ConfigMap is mounted", rules.Value)
	expect(databaseMounted, "ROUTER_DATABASE is %q, where no volume is mounted", database.Value)
	expect(temporary, "SQLite has no place for temporary files")
}

func (d *deployment) checkNetwork(expect expectFunc) {
	container := d.container()
	template := labels.Set(d.workload.Spec.Template.Labels)
	expect(d.workload.Spec.Selector != nil && labels.SelectorFromSet(d.workload.Spec.Selector.MatchLabels).Matches(template),
		"selector does not match the pod's labels")
	expect(len(d.service.Spec.Selector) > 0 && labels.SelectorFromSet(d.service.Spec.Selector).Matches(template),
		"Service selector does not match the pod's labels")

	names := map[string]int32{}
	for _, port := range container.Ports {
		names[port.Name] = port.ContainerPort
		expect(fmt.Sprint(port.ContainerPort) == d.image.expose, "port %d is not the public one, %s", port.ContainerPort, d.image.expose)
	}
	for _, port := range d.service.Spec.Ports {
		_, ok := names[port.TargetPort.StrVal]
		expect(ok, "targetPort %s is no port of the container", port.TargetPort.String())
	}
	for _, probe := range []struct {
		name, path string
		probe      *corev1.Probe
	}{
		{"startup", "/healthz", container.StartupProbe},
		{"liveness", "/healthz", container.LivenessProbe},
		{"readiness", "/readyz", container.ReadinessProbe},
	} {
		ok := probe.probe != nil && probe.probe.HTTPGet != nil && probe.probe.HTTPGet.Path == probe.path
		expect(ok, "%s probe does not ask %s", probe.name, probe.path)
		if ok {
			_, ok = names[probe.probe.HTTPGet.Port.StrVal]
			expect(ok, "%s probe asks no port of the container", probe.name)
		}
	}
	for _, rule := range d.ingress.Spec.Rules {
		for _, way := range rule.HTTP.Paths {
			expect(way.Path == "/webhook", "Ingress publishes %s", way.Path)
			to := way.Backend.Service
			expect(to != nil && to.Name == d.service.Name && slices.ContainsFunc(d.service.Spec.Ports, func(p corev1.ServicePort) bool {
				return p.Name == to.Port.Name
			}), "Ingress leads to no port of the Service")
		}
	}
}

func (d *deployment) checkKustomization(expect expectFunc) {
	k := d.kustomization
	want := []string{"deployment.yaml", "persistentvolumeclaim.yaml", "service.yaml"}
	diff := cmp.Diff(want, slices.Sorted(slices.Values(k.Resources)))
	expect(diff == "", "resources of the kustomization (-want +got):\n%s", diff)
	if len(k.ConfigMapGenerator) == 1 {
		generator := k.ConfigMapGenerator[0]
		expect(slices.Equal(generator.FileSources, []string{"rules.yaml"}), "the ConfigMap should hold rules.yaml, not %q", generator.FileSources)
		expect(generator.Options != nil && generator.Options.DisableNameSuffixHash, "disableNameSuffixHash is off: each change of the rules would restart the pod")
	} else {
		expect(false, "want one configMapGenerator, have %d", len(k.ConfigMapGenerator))
	}
	expect(slices.ContainsFunc(k.Images, func(i types.Image) bool { return i.Name == d.container().Image }),
		"images does not set %s", d.container().Image)
	expect(len(k.EnforceFields()) == 0, "kustomization: %q", k.EnforceFields())
}

func (d *deployment) checkImage(expect expectFunc) {
	expect(d.image.entrypoint == `["/docspace-router"]`, "ENTRYPOINT is %s", d.image.entrypoint)
	expect(d.image.cmd == `["serve"]`, "CMD is %s", d.image.cmd)
	for _, name := range slices.Sorted(maps.Keys(d.image.env)) {
		expect(slices.Contains(settings, name), "%s in the Dockerfile is no setting of serve", name)
	}
	database := strings.TrimPrefix(d.image.env["ROUTER_DATABASE"], "sqlite://")
	expect(path.Dir(database) == d.image.volume, "ROUTER_DATABASE is outside VOLUME %s", d.image.volume)
	for _, name := range []string{"ROUTER_RULES", "ROUTER_DATABASE"} {
		inPod, _ := d.env(name)
		expect(inPod.Value == d.image.env[name], "%s is %q in the pod and %q in the image", name, inPod.Value, d.image.env[name])
	}
	module, err := os.ReadFile(filepath.Join("..", "go.mod"))
	expect(err == nil, "%v", err)
	expect(bytes.Contains(module, []byte("\ngo "+d.image.goVersion)), "the Dockerfile builds with Go %s, go.mod wants another", d.image.goVersion)
}

func (d *deployment) pod() *corev1.PodSpec { return &d.workload.Spec.Template.Spec }

func (d *deployment) container() *corev1.Container { return &d.pod().Containers[0] }

func (d *deployment) env(name string) (corev1.EnvVar, bool) {
	all := d.container().Env
	i := slices.IndexFunc(all, func(v corev1.EnvVar) bool { return v.Name == name })
	if i < 0 {
		return corev1.EnvVar{}, false
	}
	return all[i], true
}

func (d *deployment) setEnv(name, to string) {
	for i := range d.container().Env {
		if d.container().Env[i].Name == name {
			d.container().Env[i].Value = to
		}
	}
}

func load(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{
		kustomization: decode[*types.Kustomization](t, "kustomization.yaml"),
		workload:      decode[*appsv1.Deployment](t, "deployment.yaml"),
		service:       decode[*corev1.Service](t, "service.yaml"),
		claim:         decode[*corev1.PersistentVolumeClaim](t, "persistentvolumeclaim.yaml"),
		secret:        decode[*corev1.Secret](t, "secret.example.yaml"),
		ingress:       decode[*networkingv1.Ingress](t, "ingress.example.yaml"),
		image:         dockerfile(t),
	}
	if n := len(d.pod().Containers); n != 1 {
		t.Fatalf("want one container, have %d", n)
	}
	if d.pod().SecurityContext == nil || d.container().SecurityContext == nil {
		t.Fatal("no security context")
	}
	var rules any
	if err := yaml.UnmarshalStrict(read(t, filepath.Join(manifests, "rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	if d.rulesEnv = envReferences(rules); len(d.rulesEnv) == 0 {
		t.Fatal("rules.yaml reads no variable")
	}
	return d
}

// envReferences finds every {env: NAME} in a decoded YAML document.
func envReferences(node any) []string {
	var names []string
	switch node := node.(type) {
	case map[string]any:
		if name, ok := node["env"].(string); ok && len(node) == 1 {
			return []string{name}
		}
		for _, child := range node {
			names = append(names, envReferences(child)...)
		}
	case []any:
		for _, child := range node {
			names = append(names, envReferences(child)...)
		}
	}
	return names
}

func decode[T any](t *testing.T, file string) T {
	t.Helper()
	object, err := parse(read(t, filepath.Join(manifests, file)))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	typed, ok := object.(T)
	if !ok {
		t.Fatalf("%s holds a %T", file, object)
	}
	return typed
}

// parse decodes one document as its tool does, refusing what that would ignore: a
// Kubernetes object the way the API server does under strict field validation, a
// kustomization into kustomize's own type.
func parse(text []byte) (any, error) {
	if bytes.Contains(text, []byte("\n---")) {
		return nil, errors.New("more than one document in a file")
	}
	var meta struct{ Kind string }
	if err := yaml.Unmarshal(text, &meta); err != nil {
		return nil, err
	}
	if meta.Kind == types.KustomizationKind {
		kustomization := new(types.Kustomization)
		err := yaml.UnmarshalStrict(text, kustomization)
		return kustomization, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	object, _, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer().Decode(text, nil, nil)
	return object, err
}

// dockerfile reads the instructions of the last build stage.
func dockerfile(t *testing.T) image {
	t.Helper()
	text := strings.ReplaceAll(string(read(t, filepath.Join("..", "Dockerfile"))), "\\\n", " ")
	from := regexp.MustCompile(`(?m)^FROM .*\bgolang:([0-9.]+) AS build$`).FindStringSubmatch(text)
	if from == nil {
		t.Fatal("no build stage from golang in the Dockerfile")
	}
	result := image{goVersion: from[1], env: map[string]string{}}
	last := text[strings.LastIndex(text, "\nFROM "):]
	for line := range strings.Lines(last) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		switch instruction {
		case "USER":
			result.user = rest
		case "ENTRYPOINT":
			result.entrypoint = rest
		case "CMD":
			result.cmd = rest
		case "EXPOSE":
			result.expose = rest
		case "VOLUME":
			result.volume = rest
		case "ENV":
			for _, assignment := range strings.Fields(rest) {
				name, to, _ := strings.Cut(assignment, "=")
				result.env[name] = to
			}
		}
	}
	return result
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func is(flag *bool) bool { return flag != nil && *flag }

func value[T int32 | int64](number *T) T {
	if number == nil {
		return -1
	}
	return *number
}
