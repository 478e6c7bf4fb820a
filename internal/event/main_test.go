package event

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// delivery is a stored delivery with what it was signed with. The signatures were computed
// with openssl, not with this package.
type delivery struct{ file, secret, signature string }

// deliveries have the shapes of every generation and invented values.
func deliveries() []delivery {
	return []delivery{
		{"v3-file-uploaded.json", "Pa55-word-0!", "sha256=4E074E478CD4F9BEA265190E10EF93C0371984FF346F0A04A3C5EBB0D07ECF2A"},
		{"v3-file-uploaded-retry.json", "Pa55-word-1!", "sha256=BDA866F892C3C268BE400D81BC73A5AE7904A3C908AC55B4A6E79F0937FB654A"},
		{"v3-third-party.json", "Pa55-word-2!", "sha256=9146358D542EEF9C695C8615E9B9501287B63043B9E49826CED79E20C46D3B7C"},
		{"v3-folder-created.json", "Pa55-word-3!", "sha256=E0468B4D8515C360D9D889DA1A52CE61F2BA718343FFC29A460F9C5C0BDD6A19"},
		{"v3-room-created.json", "Pa55-word-4!", "sha256=3727F4C7BF35B3C0346027381C99D7233968EFBA172478BA0B79BDB972A5EC35"},
		{"v3-user-created.json", "Pa55-word-5!", "sha256=021B4899C2EFB862E7B36FD5FB6A5244C267806AE3CA98BB5916493B7ECC235A"},
		{"v3-form-submit.json", "Pa55-word-6!", "sha256=4CDBCBC03C30303051F9F4304F26FB45B53494F503BC1B203992E3F515599F44"},
		{"v4-file-updated.json", "Pa55-word-7!", "sha256=6ADED5EC51E61F8DB6330F3281331D7202FDC918DC8C1756C6EBFDA75BD1CAFC"},
		{"flat-data.json", "Pa55-word-8!", "sha256=862DA46881E767444E4ACBAA066FBFF05943590FE9D69C347737EC7479B006A3"},
		{"flat-entity.json", "Pa55-word-9!", "sha256=E04989222298CDA4B655D9C64B5AE51F64464C2C89AF3E0C9C0865F8228ED281"},
		{"flat-top.json", "Pa55-word-10!", "sha256=C0D9BDAB7B50C4559299946DE0521E9822051AAD4F5AC56B878F539139A0823A"},
	}
}

// capture reads a captured delivery of the project's ground truth, which is not part of the
// repository; where it is absent the stored deliveries stand in for it.
func capture(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "webhooks", name))
	if os.IsNotExist(err) {
		t.Skip("the captured deliveries are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func stored(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}
