//! The worker's settings, each declared once: flag, file key, variable, check, help and reference come from here.
//! Where gunicorn has a setting, it has gunicorn's name.

mod application;
mod develop;
mod gunicorn;
pub mod http;
mod life;
pub mod logs;
pub mod mechanics;
mod observe;
mod processes;
pub mod proxies;
pub mod proxy_protocol;
pub mod sockets;

use monodon_settings::Schema;

pub use develop::Develop;
pub use life::Life;

pub static SCHEMA: Schema = Schema {
    service: "worker",
    sections: &[
        application::SECTION,
        sockets::SECTION,
        processes::SECTION,
        mechanics::SECTION,
        life::SECTION,
        http::SECTION,
        proxies::SECTION,
        proxy_protocol::SECTION,
        logs::SECTION,
        observe::SECTION,
        develop::SECTION,
        gunicorn::SECTION,
    ],
    tables: &[],
    refused: &crate::gunicorn::REFUSED,
};

#[cfg(test)]
mod tests {
    use super::SCHEMA;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    }

    #[test]
    fn the_reference_page_is_what_the_table_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/worker.md");
        let wanted = format!("{}{}", SCHEMA.reference(), crate::gunicorn::reference());
        monodon_settings::check_page(std::path::Path::new(page), &wanted).unwrap();
    }
}
