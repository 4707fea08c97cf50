//! `ctxbench run` through the program: from a hub, a folder, a file or a seed to a report.

mod stand_in_hub;

#[path = "run/from_hub.rs"]
mod from_hub;
#[path = "run/going_on.rs"]
mod going_on;
#[path = "run/local.rs"]
mod local;
#[path = "run/longest.rs"]
mod longest;
#[path = "run/outputs.rs"]
mod outputs;
#[path = "run/place.rs"]
mod place;
#[path = "run/refusals.rs"]
mod refusals;
#[path = "run/texts.rs"]
mod texts;
#[path = "run/without_hub.rs"]
mod without_hub;
