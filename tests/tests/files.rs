//! Files of the data folder: made for their owner alone, and not used when others can reach the secret ones.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::Raw;

/// Everything below a folder, itself included, that the group or others may touch.
fn reachable_by_others(path: &Path, found: &mut Vec<String>) {
    let about = fs::symlink_metadata(path).unwrap();
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        found.push(format!("{} {mode:04o}", path.display()));
    }
    if about.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| reachable_by_others(&entry.unwrap().path(), found));
    }
}

#[test]
fn what_the_gateway_makes_is_for_its_owner_alone() {
    let lab = Lab::start(Plan::default()).unwrap();
    Raw::login(&lab.through(), &[]).unwrap().query("select 1").unwrap();
    let mut found = Vec::new();
    reachable_by_others(&lab.gateway.data_dir(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn secret_files_that_others_can_reach_keep_the_gateway_from_starting() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    lab.gateway.stop().unwrap();
    for file in ["keys/master.key", "tokens.json"] {
        let path = lab.gateway.data_dir().join(file);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let said = format!("{:#}", lab.gateway.serve().unwrap_err());
        let wanted = format!("chmod 600 {}", path.display());
        assert!(said.contains("has mode 0640") && said.contains(&wanted), "{said}");
        assert_eq!(said.matches("hint: ").count(), 1, "{said}");
        // A command that needs the file is told the same.
        let command = if file == "tokens.json" { ["token", "list"] } else { ["log", "cat"] };
        let read = format!("{:#}", lab.gateway.cli(&command).unwrap_err());
        assert!(read.contains(&wanted), "{read}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    lab.gateway.serve().unwrap();
}
