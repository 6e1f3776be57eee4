package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// older is what the name of a full list gets; the one that had it is gone.
const older = ".1"

// difference is one line of the list.
type difference struct {
	DecisionID string    `json:"decision_id"`
	Time       time.Time `json:"time"`
	Kind       Kind      `json:"kind"`
	Caller     string    `json:"caller"`
	RPC        string    `json:"rpc"`
	PolicyPath string    `json:"policy_path"`
	Live       Outcome   `json:"live"`
	Shadow     Outcome   `json:"shadow"`
}

// list is a file that differences are appended to, one JSON object a line. Unlike
// the decision log it may lose: it holds nothing that could not be had again.
type list struct {
	path     string
	maxBytes int64
}

// append opens the file each time: differences are rare, and whoever removes or
// moves the file need not say so.
func (l *list) append(d *difference) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line) // ends with a newline
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		return err
	}
	if info, err := os.Lstat(l.path); err == nil && info.Size() >= l.maxBytes {
		if err := os.Rename(l.path, l.path+older); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(line.Bytes())
	return errors.Join(err, file.Close())
}
