//! Prints the table of runtimes that `cargo xtask generate` puts into docs/runtimes.md.

use lambd_api::runtimes::{self, DEPRECATED};
use lambd_runtime::{Bootstraps, Catalogue, Substitution, Support};

fn main() {
    let catalogue = Catalogue::new(Vec::new(), Substitution::Never, Bootstraps::at("/nowhere".into()));
    let identifiers: Vec<&str> = runtimes::all().collect();
    println!("| runtime | runs on | deprecated | AWS creates none from | AWS changes none from |");
    println!("|---|---|---|---|---|");
    for id in catalogue.known(&identifiers) {
        let runs_on = match Catalogue::support(&id) {
            _ if DEPRECATED.contains(&id.as_str()) => "nothing: refused, as on AWS".to_owned(),
            Support::Package => "the package's own program".to_owned(),
            Support::Interpreter { language, version } => format!("{language} {version}"),
            Support::Image => "an image that brings it along".to_owned(),
        };
        let days = runtimes::phases(&id)
            .map_or(["-"; 3], |phases| [phases.deprecated, phases.create_blocked, phases.update_blocked]);
        println!("| `{id}` | {runs_on} | {} |", days.join(" | "));
    }
}
