// SPDX-License-Identifier: Apache-2.0

package level1

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

func nested(name, text string) string {
	return string(EncodeFields((&Message{}).Text(1, name).Text(2, text).Fields))
}

func examples() map[string]*Message {
	form := string(EncodeFields((&Message{}).Text(1, "echo").Number(2, 2).Number(3, 1).Fields))
	asked := string(EncodeFields((&Message{}).Text(1, "echo").Number(2, 1).Fields))
	return map[string]*Message{
		"hello": (&Message{Type: Hello}).Number(1, 1).Number(2, 1).Text(3, "echo").Text(4, "two").
			Text(5, form).Text(6, nested("main", "tcp:127.0.0.1:7000")),
		"welcome":          (&Message{Type: Welcome}).Number(1, 1),
		"store-listener":   (&Message{Type: Store, FdCount: 1}).Number(1, 1).Number(2, 0).Text(3, "main"),
		"store-connection": (&Message{Type: Store, FdCount: 1}).Number(1, 2).Number(2, 258).Text(3, "").Text(4, "left over"),
		"close-connection": (&Message{Type: Close}).Number(1, 2).Number(2, 258).Number(4, 1),
		"freeze":           (&Message{Type: Freeze}).Number(1, 3).Number(2, 5000).Text(3, asked),
		"state":            (&Message{Type: State, FdCount: 1}).Text(1, "echo").Number(2, 1).Number(3, 4096).Number(4, 3),
		"frozen":           (&Message{Type: Frozen}).Number(1, 3),
		"activate":         (&Message{Type: Activate}).Number(1, 0).Number(2, 7),
		"serving":          {Type: Serving},
		"resume":           (&Message{Type: Resume}).Number(1, 1),
		"end":              (&Message{Type: End}).Number(1, 1),
	}
}

// The golden bytes are those of protocol/level1.golden, which SEGUE_LEVEL1_GOLDEN names.
func TestMessagesAreWhatTheProtocolSaysTheyAre(t *testing.T) {
	file, err := os.Open(os.Getenv("SEGUE_LEVEL1_GOLDEN"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	expected := examples()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 2 || words[0] == "#" {
			continue
		}
		golden, err := hex.DecodeString(words[1])
		if err != nil {
			t.Fatal(err)
		}
		message := expected[words[0]]
		if message == nil {
			t.Fatalf("unknown golden message %s", words[0])
		}
		if !bytes.Equal(Encode(message), golden) {
			t.Errorf("%s is %x, and not %x", words[0], Encode(message), golden)
		}
		decoded, err := Decode(golden)
		if err != nil || !bytes.Equal(Encode(decoded), golden) {
			t.Errorf("%s does not come back: %v", words[0], err)
		}
		for size := range golden {
			if _, err := Decode(golden[:size]); err == nil {
				t.Errorf("%s cut to %d bytes is taken", words[0], size)
			}
		}
		delete(expected, words[0])
	}
	for name := range expected {
		t.Errorf("no golden bytes of %s", name)
	}
}
