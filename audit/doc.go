// Package audit keeps the record of who did what, in a form in which nobody
// can change it unseen.
//
// A [Log] is one chain of entries: one node's. Each entry is one line of JSON in a file that
// only grows; the bytes that are written are the bytes that are protected:
//
//		{"seq":7,…,"mac":"…","hash":"…"}
//
//	  - seq numbers the entries of a chain without gaps.
//	  - mac is a keyed hash of the node's name and all of the line before it. Its
//	    key comes from the installation's own keys and is not in the log's
//	    directory, so that who rewrites the directory cannot make it anew: it
//	    names the very record that was changed.
//	  - hash is a plain hash over the hash of the entry before and the line. It
//	    needs no key to be checked, and it fixes the order.
//
// At intervals a checkpoint, itself an entry, states seq and hash of an entry,
// signed by the root key. The newest such statement, the [Head], is also kept
// elsewhere ([Heads]; the store), so that a log that was cut off at its end, or
// taken away as a whole, is found out. What happened after the newest head
// (one interval, a second by default) is protected by the chain, but an end cut
// off within it cannot be told from a server that did less.
//
// [Log.Append] returns when its record is durable. All that wait share one
// write and one sync. What is synced is a journal of fixed size beside the file,
// since a file that grows can only be synced together with what others write; a
// start writes to the file what a crash of the machine kept from it. If the log cannot be written, every Append fails with
// lockstep.ErrBusy until it can be again, which the Log finds out by itself;
// what had happened, but could not be written at that moment, is kept in
// memory and written first.
//
// A batch that a crash cut in half was never acknowledged. The next start sets
// the torn bytes aside in a file of their own and records that it did. Damage
// of any other kind is never mended: the chain goes on in a new file, and
// [Verify] names the damage for as long as its file is kept.
//
// Records are made of typed fields ([Record]), never of requests' bodies, and
// hold no value of a secret.
package audit
